@echo off
rem Everything a script can do that needs no file but itself.
echo one %1 two %2 all %*
echo 100%%
set COLOUR=green
echo %COLOUR% %colour% [%NOTHING%]
set COLOUR=
if not "%COLOUR%"=="" echo still there
tcon status 5
if errorlevel 6 echo wrong
if errorlevel 5 echo five %ERRORLEVEL%
if not errorlevel 6 echo not six
tcon status 0 && echo then
tcon status 1 || echo else
tcon status 1 && echo wrong || echo other
echo a & echo b
goto over
echo wrong
:over
set N=0
:again
call D:\extra\count.cmd %N%
set N=%ERRORLEVEL%
if not errorlevel 3 goto again
echo counted to %N%
if exist D:\extra\count.cmd echo there
if exist D:\extra\nothing echo wrong
tcon many 14 | more
echo piped | tcon lines
tcon many 3 | type | sha256
echo text > NUL
tcon lines < D:\extra\two.txt
echo text > D:\out.txt
exit 9
echo wrong
