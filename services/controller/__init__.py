"""Controller: watches invoices, payments and disputes and says what each means for the books."""
