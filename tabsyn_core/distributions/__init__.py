"""One distribution family a column: families, fitting, selection, goodness of fit."""
