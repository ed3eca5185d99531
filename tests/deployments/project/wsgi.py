"""The site for a WSGI server."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from . import site  # noqa: E402, F401  (with the application, so that --preload loads it before the fork)
