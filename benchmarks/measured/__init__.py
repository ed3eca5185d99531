"""What runs inside a measured process: a worker, which does what it is asked line by line, or a web server.

Its functions get and return what JSON can say. They know one thing of the arms: the settings they were started with. One is not
measured but has the web servers asked: ``load``.
"""
