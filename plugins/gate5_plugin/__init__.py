"""The tab "Gate 5" of a run in Airflow's UI. Airflow loads plugin.py; the other modules are its parts."""
