"""Results in; tables, lines and JSON out. The report knows results and prices only: no engine, no files, no terminal."""
