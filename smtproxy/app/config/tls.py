"""The settings of TLS: certificates for clients, and whom a backend's certificate must be from.

A certificate is read when the configuration is: a key of another certificate is a mistake of the file, found by
`check`, and not one that the first client finds.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT
from smtproxy.network.tls import Certificate, CertificateError, Version, check_ciphers, client_context, read_certificate


def _file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the path of a file")
    return survey_of(info).path.absolute().parent / value


File = Annotated[Path, BeforeValidator(_file)]


def _file_or_none(value: object, info: ValidationInfo) -> Path | None:
    return None if value in (None, "") else _file(value, info)


OptionalFile = Annotated[Path | None, BeforeValidator(_file_or_none)]
"""A file; "" (None): none."""


class KeyPair(BaseModel):
    """A certificate and its key."""

    model_config = STRICT
    certificate: Annotated[File, Field(description="The certificate and its chain, PEM, our own first.")]
    key: Annotated[File, Field(description="Its private key, PEM, without a passphrase.")]

    _read: Certificate = PrivateAttr()

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> "KeyPair":
        try:
            self._read = read_certificate(self.certificate, self.key)
        except CertificateError as error:
            raise ValueError(_beside(error, info)) from None
        return self

    @property
    def read(self) -> Certificate:
        """The certificate, as it was when the configuration was read."""
        return self._read


def _beside(error: CertificateError, info: ValidationInfo) -> str:
    """Return what is wrong, files being named as they are in the configuration."""
    return str(error).replace(f"{survey_of(info).path.absolute().parent}/", "")


def _authorities(value: object, info: ValidationInfo) -> Path | None:
    if value == "":
        return None
    path = _file(value, info)
    try:
        client_context(path, verify=True, oldest=Version.TLS_1_2)
    except CertificateError as error:
        raise ValueError(_beside(error, info)) from None
    return path


Authorities = Annotated[Path | None, BeforeValidator(_authorities)]
"""A file of certificates to be trusted, seen to be one; "" (None): those of the system."""


def one_or_more(value: object) -> object:
    """Take one table for a list of one."""
    if isinstance(value, dict):
        return (value,)
    if isinstance(value, list):
        return tuple(value)
    raise ValueError('must be { certificate = "...", key = "..." }, or a list of such tables')


def checked_ciphers(text: str) -> str:
    """Let OpenSSL say whether it knows a cipher list. Raises ValueError."""
    if text:
        check_ciphers(text)
    return text
