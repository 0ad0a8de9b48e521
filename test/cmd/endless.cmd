@echo off
:again
tcon spin
echo survived
goto again
