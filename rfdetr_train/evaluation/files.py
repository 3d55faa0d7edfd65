"""Names of the report files."""

REPORT_HTML = "report.html"
REPORT_JSON = "evaluation.json"
