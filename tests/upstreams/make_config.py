"""Writes the config of a gateway whose upstreams are the fakes: an alias for each family and scenario."""

import json


def service_account(url):
    """A public key for the fake, and the JSON of a service account whose token comes from the fake."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return public, {
        "type": "service_account", "project_id": "p", "private_key_id": "fake", "private_key": private, "client_id": "1",
        "client_email": "fake@p.iam.gserviceaccount.com", "token_uri": f"{url}/token",
    }
