"""The suite so many times in a row, and what its runs say together.

python -m e2e.series 20 e2e --tenants=10      # or: make e2e RUNS=20
python -m e2e.series --of reports/series/*/e2e.json
"""
