"""An app that queries its database before a test database exists, as real ones do."""

import os
import warnings

from django.apps import AppConfig


class EarlyBirdConfig(AppConfig):
    name = "tests.early_bird"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db import connection

        if os.environ.get("EARLY_BIRD_QUERIES"):
            with warnings.catch_warnings():  # Django advises against it
                warnings.simplefilter("ignore", RuntimeWarning)
                self.get_model("Note").objects.count()
                self.database_of_ready = connection.settings_dict["NAME"]
            connection.close()
