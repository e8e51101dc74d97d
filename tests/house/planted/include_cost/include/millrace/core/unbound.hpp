// planted: no bound in bounds
