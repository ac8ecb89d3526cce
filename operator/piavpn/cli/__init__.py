"""`kubectl piavpn`: what an owner sees and asks, from any machine that kubectl works on."""
