#!/bin/sh
# Bring the database up to date, then become the command.
set -eu
python manage.py migrate --noinput
exec "$@"
