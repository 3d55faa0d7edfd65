"""KFP components: each body calls one function of rfdetr_train."""
