"""Live torch.nn.Modules. Imported only where the caller has one, so torch is imported at the top."""
