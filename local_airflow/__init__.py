"""An Airflow of one's own on this machine: scheduler, DAG processor and API server, SQLite, no other service."""
