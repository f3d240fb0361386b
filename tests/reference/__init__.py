"""The reference tables of docs/mapping.md, made from the models that the code itself goes by."""
