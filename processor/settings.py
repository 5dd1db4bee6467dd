"""One frozen settings model: flags, then `CREDITS_…` in the environment, then a TOML file.

Every limit says why it has its value. `credits settings` prints the effective ones.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from processor.domain.policy import Policy

SECRETS_DIR: Final = Path("/run/secrets")
"""Where containers mount secrets: a file `credits_sasl_password` there is the setting of that name."""

SAFE_ISSUER: Final = re.compile(r"(https://[^?#\s]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^?#\s]*)?)?")
"""Without TLS only on this machine: what an OpenID Connect provider says is believed."""


class Settings(BaseSettings):
    """Settings of every command; names are part of the contract with other programs."""

    model_config = SettingsConfigDict(
        env_prefix="CREDITS_",
        frozen=True,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        extra="forbid",
    )

    brokers: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma-separated")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, when the protocol has SASL"
    )
    sasl_username: str = Field("", description="SASL user")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password; prefer a file in the secrets directory")
    ssl_ca_location: FilePath | None = Field(
        None, description="certificates of the authorities that issue the brokers', PEM; unset: the system's"
    )
    ssl_certificate_location: FilePath | None = Field(
        None, description="our own certificate with its chain, PEM, for brokers that ask for one"
    )
    ssl_key_location: FilePath | None = Field(None, description="the private key of that certificate, PEM, unencrypted")

    app_id: str = Field("credits-meter", description="consumer group and prefix of the transactional ids")
    data_dir: Path = Field(
        Path("credits-data"),
        description="per worker, locked: holds the worker's stable instance name and the checkpoint of its partitions",
    )
    instance: str | None = Field(None, description="overrides the stable instance name kept in the data directory")
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic",
        description="classic with static membership takes partitions back at once after a kill; consumer is KIP-848",
    )
    session_timeout_s: int = Field(10, ge=1, le=300, description="a silent worker loses its partitions after this time")
    rates: Annotated[list[Path], NoDecode] = Field(
        default_factory=list, description="rate deck files, comma-separated; empty: the synthetic deck of the package"
    )
    rates_poll_s: int = Field(
        5, ge=0, le=3600, description="how often a worker looks for changed rate decks; 0: only when it gets a SIGHUP"
    )
    metrics_port: int = Field(9464, ge=0, le=65535, description="Prometheus port, +1 per process; 0 is off")
    tracing_endpoint: str = Field(
        "",
        pattern="^(https?://.+)?$",
        description="OpenTelemetry collector that gets spans over OTLP/HTTP, http://host:4318; empty: no tracing",
    )
    shutdown_timeout_s: int = Field(
        25, ge=1, le=900, description="a worker that is told to stop ends within this time, with or without its broker"
    )

    console_database: str | None = Field(
        None, description="the console's database as an SQLAlchemy URL; unset: SQLite files in the data directory"
    )
    console_retention_days: int = Field(
        400, ge=1, le=3650, description="the console keeps single entries for so long, like ledger.v1; daily sums stay"
    )
    console_trusted_proxies: str = Field(
        "",
        description="addresses or networks of proxies before the console, comma-separated; they say who the client is",
    )
    console_oidc_issuer: str = Field(
        "", description="the console's OpenID Connect provider, https://…, exactly as its own description names it"
    )
    console_oidc_client_id: str = Field("", description="this console's client id at the provider")
    console_oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="this console's secret at the provider; empty: a public client, PKCE alone"
    )
    console_oidc_title: str = Field("SSO", description="the provider's name on the sign-in page")
    console_oidc_scopes: str = Field("openid profile email", description="what is asked of the provider")
    console_oidc_name_claim: str = Field(
        "preferred_username", description="the claim that names a person in the audit trail; unique at your provider"
    )
    console_oidc_role_claim: str = Field("groups", description="the claim, a text or a list, that decides the role")
    console_oidc_roles: Annotated[dict[str, Literal["viewer", "billing-admin", "operator"]], NoDecode] = Field(
        default_factory=dict,
        description="values of that claim and the role each gives: `meter-admins=operator,finance=billing-admin`",
    )
    console_oidc_tenants_claim: str = Field(
        "tenants", description="the claim, a text or a list, with the tenants that somebody may see; `*` is all of them"
    )

    default_currency: str = Field("USD", pattern="^[A-Z]{3}$", description="currency of accounts first seen by usage")
    unrateable: Literal["park", "free"] = Field("park", description="what happens to usage that no deck row prices")
    deduplication_days: int = Field(35, ge=1, le=400, description="how long an event id is remembered")
    correction_days: int = Field(95, ge=1, le=300, description="how old a leg may be when it is corrected or voided")
    max_future_s: int = Field(900, ge=0, le=86_400, description="how far ahead of our clock an event may be")
    minimum_funding_micros: int = Field(50_000_000, ge=1, description="the smallest payment: 50 of the major unit")
    low_balance_micros: int = Field(
        10_000_000, ge=0, description="notice when a balance falls to this, where auto-pay was never set; 0: none"
    )
    expiry_notice_days: int = Field(30, ge=1, le=365, description="how long before a purchase expires a notice says so")
    recharge_deadline_s: int = Field(300, ge=1, description="a result is expected within this time")
    recharge_deadline_max_s: int = Field(
        3600, ge=1, description="the time doubles each time a payment is asked for again, up to this"
    )
    recharge_backoff_s: int = Field(3600, ge=1, description="pause after the first declined payment, doubling")
    recharge_backoff_max_s: int = Field(86_400, ge=1, description="the longest pause between payments")
    suspend_after_failures: int = Field(3, ge=1, description="consecutive failures that suspend auto-pay")
    recharge_max_per_day: int = Field(10, ge=1, description="payments per tenant and day unless the account says")
    recharge_max_units: int = Field(1, ge=1, description="payment amounts per payment unless the account says")
    burst_recharges: int = Field(3, ge=2, le=100, description="this many payments within the window raise an alarm")
    burst_window_s: int = Field(600, ge=1, description="the window of that alarm")

    payment_inbox_url: SecretStr = Field(
        SecretStr(""),
        description="the payment worker's inbox, postgresql://… or sqlite:///…; empty: a SQLite file in its directory",
    )
    stripe_api_key: SecretStr = Field(SecretStr(""), description="Stripe's secret or restricted key, for its provider")
    stripe_api_base: str = Field("https://api.stripe.com", description="where Stripe answers; another one is for tests")

    graph_tenant_id: str = Field("", description="`credits pull graph`: directory (tenant) id of the application")
    graph_client_id: str = Field("", description="`credits pull graph`: the application's (client) id")
    graph_client_secret_file: Path | None = Field(
        None, description="`credits pull graph`: file with the application's secret, read at every start"
    )
    graph_url: str = Field("https://graph.microsoft.com/v1.0", description="Microsoft Graph; other in national clouds")
    graph_login_url: str = Field(
        "https://login.microsoftonline.com", description="where Microsoft's tokens come from; other in national clouds"
    )

    batch_max_events: int = Field(
        8000, ge=1, le=100_000, description="events per transaction at most: bounds memory and the work a crash repeats"
    )
    linger_ms: int = Field(
        3, ge=0, le=1000, description="how long a quiet cycle waits for company: fewer transactions, a little latency"
    )
    checkpoint_interval_s: int = Field(
        10,
        ge=0,
        le=3600,
        description="committed changes are in the local checkpoint after this time: how much a restart reads again",
    )
    accounts_in_memory: int = Field(
        10_000,
        ge=100,
        le=10_000_000,
        description="accounts per partition that are kept in memory, or up to twice as many, about 2 kB each; "
        "the others are read from the local checkpoint",
    )
    transaction_timeout_s: int = Field(
        10, ge=1, le=900, description="the broker aborts a dead worker's transaction after this time; recovery may wait"
    )

    @field_validator("rates", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @field_validator("console_oidc_roles", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.rpartition("=") for part in value.split(",") if part.strip()]
        return {name.strip(): role.strip() for name, _, role in pairs}

    @model_validator(mode="after")
    def _provider_is_complete(self) -> "Settings":
        if self.console_oidc_issuer and not (self.console_oidc_client_id and self.console_oidc_roles):
            raise ValueError("console_oidc_issuer needs console_oidc_client_id and console_oidc_roles, too")
        if not SAFE_ISSUER.fullmatch(self.console_oidc_issuer):
            raise ValueError("console_oidc_issuer must begin with https:// (http:// only on this machine)")
        if "openid" not in self.console_oidc_scopes.split():
            raise ValueError("console_oidc_scopes must name the scope openid")
        return self

    @model_validator(mode="after")
    def _limits_agree(self) -> "Settings":
        if self.recharge_backoff_max_s < self.recharge_backoff_s:
            raise ValueError("recharge_backoff_max_s is smaller than recharge_backoff_s")
        if self.recharge_deadline_max_s < self.recharge_deadline_s:
            raise ValueError("recharge_deadline_max_s is smaller than recharge_deadline_s")
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "Settings":
        if (self.ssl_certificate_location is None) != (self.ssl_key_location is None):
            raise ValueError("ssl_certificate_location and ssl_key_location belong together")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then secret files, then the environment, then the TOML file named by CREDITS_CONFIG."""
        del dotenv_settings
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get("CREDITS_CONFIG", "credits.toml"))
        return init_settings, file_secret_settings, env_settings, toml

    @property
    def policy(self) -> Policy:
        """The part of the settings that decides about money."""
        return Policy(
            default_currency=self.default_currency,
            unrateable=self.unrateable,
            deduplication=timedelta(days=self.deduplication_days),
            corrections=timedelta(days=self.correction_days),
            max_future=timedelta(seconds=self.max_future_s),
            minimum_funding_micros=self.minimum_funding_micros,
            low_balance_micros=self.low_balance_micros,
            expiry_notice=timedelta(days=self.expiry_notice_days),
            recharge_deadline=timedelta(seconds=self.recharge_deadline_s),
            recharge_deadline_max=timedelta(seconds=self.recharge_deadline_max_s),
            recharge_backoff=timedelta(seconds=self.recharge_backoff_s),
            recharge_backoff_max=timedelta(seconds=self.recharge_backoff_max_s),
            suspend_after_failures=self.suspend_after_failures,
            recharge_max_per_day=self.recharge_max_per_day,
            recharge_max_units=self.recharge_max_units,
            burst_recharges=self.burst_recharges,
            burst_window=timedelta(seconds=self.burst_window_s),
        )

    def librdkafka(self) -> dict[str, object]:
        """Connection settings for confluent-kafka clients."""
        conf: dict[str, object] = {"bootstrap.servers": self.brokers, "log_level": 3}
        if self.security_protocol != "PLAINTEXT":
            conf["security.protocol"] = self.security_protocol
        if self.ssl_ca_location:
            conf["ssl.ca.location"] = str(self.ssl_ca_location)
        if self.ssl_certificate_location:
            conf["ssl.certificate.location"] = str(self.ssl_certificate_location)
            conf["ssl.key.location"] = str(self.ssl_key_location)
        if self.security_protocol.startswith("SASL"):
            conf["sasl.mechanism"] = self.sasl_mechanism
            conf["sasl.username"] = self.sasl_username
            conf["sasl.password"] = self.sasl_password.get_secret_value()
        return conf

    def kafka_python(self) -> dict[str, object]:
        """Connection settings for kafka-python clients."""
        conf: dict[str, object] = {"bootstrap_servers": self.brokers.split(",")}
        if self.security_protocol != "PLAINTEXT":
            conf["security_protocol"] = self.security_protocol
        if self.ssl_ca_location:
            conf["ssl_cafile"] = str(self.ssl_ca_location)
        if self.ssl_certificate_location:
            conf["ssl_certfile"] = str(self.ssl_certificate_location)
            conf["ssl_keyfile"] = str(self.ssl_key_location)
        if self.security_protocol.startswith("SASL"):
            conf["sasl_mechanism"] = self.sasl_mechanism
            conf["sasl_plain_username"] = self.sasl_username
            conf["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return conf
