-- The tests make and drop databases of their own, and end other sessions.
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;
