echo shown
@echo hidden
D:\extra\count.cmd 0
echo never
