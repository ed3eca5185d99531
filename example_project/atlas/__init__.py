"""An atlas: countries, their cities, and the visits that readers record."""
