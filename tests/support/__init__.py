"""Parts that several tests share: random designs, independent oracles, benches, stand-ins for devices, results made by hand."""
