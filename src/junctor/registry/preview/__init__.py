"""What a registry has to offer, before it is added: lists and describes servers, and says which would become connectors, as the operator
decides it.
"""
