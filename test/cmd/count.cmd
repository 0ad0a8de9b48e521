@if %1==0 exit 1
@if %1==1 exit 2
@exit 3
