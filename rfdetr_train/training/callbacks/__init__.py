"""Lightning callbacks that are appended to the ones rfdetr builds."""
