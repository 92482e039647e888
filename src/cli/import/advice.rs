//! The nearest thing in Tidegate for each part of the file that the import does not carry.

pub(super) const MODE: &str =
    "`passthrough` sends other routes of one provider's API on as they are";
pub(super) const VENDOR: &str = "the nearest is `type: openai` with the `base_url` of the server's Chat Completions, or \
    `type: anthropic` if it has a Messages endpoint";
/// Switches that change nothing if they are off.
pub(super) const FLAGS: [&str; 6] = [
    "use_in_pass_through",
    "use_litellm_proxy",
    "merge_reasoning_content_in_choices",
    "use_xai_oauth",
    "allow_client_keepalive_override",
    "use_chat_completions_api",
];

const UNKNOWN: &str =
    "the import does not know this key, and the written file has nothing in its place";
const DEFAULTS: &str = "a default of a parameter: the policy `set-defaults` sets fields that a request leaves out, and \
    `when: { model }` limits it to an alias";
const DATABASE: &str = "it is about keys, teams and users of LiteLLM's database, which the import cannot read: \
    `tidegate key new --name NAME` makes a key, and `limits` and `budgets` with `per: key` or `per: \"tag:team\"` bound them";
const LOGGING: &str = "a setting of callbacks that the gateway does not have: `otlp` exports traces, `sinks` sends events, \
    and neither holds texts of conversations";
const GATEWAY: &str = "the gateway needs no such setting";
const FORWARD: &str =
    "the nearest is `passthrough`, which sends unknown routes of `/v1` to one provider";
const ALERTS: &str = "the nearest is `sinks` with `http`: signed webhooks for budgets, targets and failed reloads; a chat needs a receiver between";
const CACHE: &str = "the gateway does not keep answers; `gateway.cache: auto` of a request uses the upstream's prompt cache";
const SECRETS: &str =
    "the gateway reads secrets from variables and files only: `${NAME}` and `${file:path}`";
const ROLES: &str =
    "the nearest is a profile of `~/.aws/config` with `role_arn`: `credentials: { profile: NAME }`";
const ENTRA: &str =
    "`type: openai` sends a key only; `type: foundry` (Claude) signs in with `entra`";

/// Keys, with spaces between them, and the advice about them.
type Table = &'static [(&'static str, &'static str)];

const PARAMETERS: Table = &[
    (
        "temperature top_p top_k seed stop n presence_penalty frequency_penalty logit_bias \
         response_format user thinking reasoning_effort service_tier metadata tools tool_choice \
         parallel_tool_calls verbosity",
        DEFAULTS,
    ),
    (
        "max_tokens max_completion_tokens",
        "every request of the Messages API has `max_tokens` of its own; the policy `cap-max-tokens` bounds it",
    ),
    ("extra_body", "the nearest is the policy `set-defaults`, for fields of the Messages API"),
    (
        "drop_params",
        "unsupported parameters are always dropped and named in `x-tidegate-dropped`; `strictness: error` with the plugin \
         `strictness` refuses them",
    ),
    (
        "additional_drop_params allowed_openai_params additional_params",
        "the nearest is `unsupported` of the target with the plugin `strictness`, which drops the parts that it names",
    ),
    ("mock_response", "the alias calls its provider; `type: simulator` answers without a model"),
    (
        "tags tag_regex auto_router_config auto_router_config_path auto_router_default_model \
         complexity_router_config adaptive_router_config quality_router_config",
        "the nearest is a policy with `route`, or stages with `when: { tags: … }`",
    ),
    (
        "aws_role_name aws_session_name aws_web_identity_token aws_sts_endpoint aws_external_id \
         aws_session_tags",
        ROLES,
    ),
    (
        "aws_profile_name aws_access_key_id aws_secret_access_key aws_session_token",
        "another credential of the entry comes first",
    ),
    ("tenant_id client_id client_secret azure_scope azure_username azure_password", ENTRA),
    (
        "guardrailConfig guardrail_config",
        "the nearest is `headers` of the provider with `x-amzn-bedrock-guardrailidentifier` and `-guardrailversion`",
    ),
    ("guardrails", "the nearest is `pipeline` with a policy or a plugin and `when: { model }`"),
    (
        "configurable_clientside_auth_params",
        "a caller cannot choose an upstream's address or key; `credentials: caller` sends the caller's own `Authorization`",
    ),
    ("use_in_pass_through use_litellm_proxy", FORWARD),
    (
        "input_cost_per_second output_cost_per_second input_cost_per_image input_cost_per_pixel",
        "prices are for tokens only",
    ),
    (
        "default_api_key_tpm_limit default_api_key_rpm_limit",
        "the nearest is a rule of `limits` with `per: key` and `when: { model }`",
    ),
    (
        "ssl_verify",
        "certificates are always verified; `ca_file` of the provider names authorities of your own",
    ),
    ("model_info", "it belongs beside `litellm_params`"),
    (
        "cache_control_injection_points",
        "the nearest is `gateway.cache: auto`, by the policy `auto-cache`",
    ),
    ("api_version", "this type of provider has no version in its address"),
    ("region_name", "this type of provider has no region"),
];

const INFO: Table = &[
    (
        "access_groups team_id team_public_model_name access_windows",
        "the nearest is `models` of each entry of `keys`",
    ),
    (
        "supports_vision supports_function_calling supports_tool_choice supports_reasoning \
         supports_prompt_caching supports_response_schema supports_pdf_input \
         supports_parallel_function_calling supports_web_search",
        "the nearest is `caps` of the model in `models_file`, which lists all capabilities",
    ),
    (
        "health_check_model health_check_timeout disable_background_health_check",
        "targets are judged by real requests; there are no health checks",
    ),
    (
        "input_cost_per_second output_cost_per_second input_cost_per_image",
        "prices are for tokens only",
    ),
    ("description version name tier", "a note without an effect on requests"),
];

const ROUTER: Table = &[
    (
        "context_window_fallbacks",
        "a refused prompt is not sent to another model; the nearest is the policy `route-by-size`, which routes by the size of a request",
    ),
    (
        "content_policy_fallbacks",
        "a refusal is an answer, and not sent to another model; a policy with `route` decides before the call",
    ),
    (
        "enable_pre_call_checks optional_pre_call_checks",
        "the gateway does not compare a prompt with the model's window; the policy `route-by-size` routes by size",
    ),
    (
        "allowed_fails allowed_fails_policy",
        "a target cools down after its first failure, for `cooldown`",
    ),
    (
        "retry_policy model_group_retry_policy",
        "one number counts for all errors: `retry.attempts`, for the statuses in `retry.on`",
    ),
    (
        "routing_strategy_args",
        "`sort: latency` measures by itself: a moving average, and a new measurement after five minutes",
    ),
    ("routing_groups", "the nearest is `strategy` or `sort` of each alias"),
    (
        "enable_tag_filtering tag_filtering_match_any tag_routing_prefix",
        "the nearest is a policy with `route`, or stages with `when: { tags: … }`",
    ),
    ("provider_budget_config", "the nearest is a rule of `budgets` with `per: model`"),
    ("max_fallbacks", "all fallbacks of the list are tried; the retry budget bounds them"),
    ("default_litellm_params default_priority", DEFAULTS),
    ("cache_responses caching_groups cache_kwargs", CACHE),
    (
        "debug_level client_ttl polling_interval ignore_invalid_deployments router_general_settings",
        GATEWAY,
    ),
    ("alerting_config", ALERTS),
    ("assistants_config", FORWARD),
    (
        "weights deployment_affinity_ttl_seconds model_group_affinity_config",
        "under `strategy: weighted` a session always stays with its target",
    ),
];

const LITELLM: Table = &[
    ("cache cache_params enable_caching_on_provider_specific_optional_params", CACHE),
    (
        "turn_off_message_logging redact_user_api_key_info redact_messages_in_exceptions \
         langfuse_default_tags callback_settings service_callbacks service_callback \
         audit_log_callbacks s3_callback_params datadog_params",
        LOGGING,
    ),
    (
        "key_generation_settings default_team_settings default_internal_user_params \
         default_team_params upperbound_key_generate_params default_key_generate_params \
         max_user_budget max_internal_user_budget internal_user_budget_duration max_end_user_budget \
         default_user_params enable_key_alias_format_validation max_ui_session_budget \
         default_max_internal_user_budget",
        DATABASE,
    ),
    (
        "mcp_aliases mcp_client_timeout",
        "the gateway is no MCP server; `mcp_servers` of a request goes to the upstream as it is",
    ),
    (
        "modify_params",
        "the gateway always makes a request fit the upstream, and names the parts that it drops",
    ),
    (
        "ssl_verify ssl_certificate",
        "certificates are always verified; `ca_file` of a provider names authorities of your own",
    ),
    (
        "force_ipv4 telemetry set_verbose suppress_debug_info drop_params store_audit_logs \
         disable_hf_tokenizer_download enable_preview_features enable_json_schema_validation \
         disable_end_user_cost_tracking ui_theme_config",
        GATEWAY,
    ),
    ("model_alias_map", "the nearest is an alias of `models` with the same targets"),
    ("guardrails", GUARDRAILS),
    (
        "api_base api_key api_version organization",
        "an address and a key belong to one provider here: set them there",
    ),
    (
        "public_model_groups public_model_groups_links",
        "the nearest is `GET /v1/models`, which lists the names that a key may use",
    ),
    (
        "require_auth_for_metrics_endpoint",
        "`/metrics` needs the admin token as soon as `admin.token` is set",
    ),
    (
        "custom_provider_map",
        "the gateway runs no Python; the nearest is a provider at an address of its own, or a plugin",
    ),
    (
        "priority_reservation priority_reservation_settings",
        "the nearest is `wait` of a limit with the tag `priority` of a key",
    ),
    ("tag_budget_config", "the nearest is a rule of `budgets` with `per: \"tag:NAME\"`"),
    ("json_logs", GATEWAY),
];

const GENERAL: Table = &[
    (
        "alerting alerting_threshold alert_types alert_to_webhook_url alerting_args \
         spend_report_frequency",
        ALERTS,
    ),
    (
        "database_connection_pool_limit database_connection_timeout database_connection_pool_timeout \
         database_socket_timeout database_connect_timeout allow_requests_on_db_unavailable \
         disable_prisma_schema_update proxy_batch_write_at use_redis_transaction_buffer \
         disable_spend_updates disable_error_logs proxy_budget_rescheduler_min_time \
         proxy_budget_rescheduler_max_time disable_reset_budget disable_adding_master_key_hash_to_db \
         disable_master_key_return proxy_batch_polling_interval maximum_spend_logs_retention_interval \
         supported_db_objects database_type database_args",
        "the ledger writes by itself, and no request waits for it",
    ),
    ("store_prompts_in_spend_logs", "the ledger holds no text of a conversation"),
    (
        "user_api_key_cache_ttl user_api_key_cache_max_size",
        "the gateway holds all keys in memory; a revoked key is refused within a second",
    ),
    (
        "default_team_disabled custom_key_generate service_account_settings ui_access_mode \
         allow_user_auth custom_sso role_permissions enforce_user_param",
        DATABASE,
    ),
    (
        "enable_jwt_auth litellm_jwtauth enable_oauth2_auth enable_oauth2_proxy_auth \
         oauth2_config_mappings",
        "the nearest is `jwt`: an entry for each issuer, with `issuer`, `audience`, and the claims for name and tags",
    ),
    (
        "custom_auth custom_auth_settings custom_auth_run_common_checks",
        "the gateway runs no Python; the nearest is `jwt`, or `keys` with `tags` and a policy",
    ),
    (
        "background_health_checks health_check_interval health_check_details use_shared_health_check",
        "targets are judged by real requests; `/healthz` and `/readyz` of the admin listener are the probes",
    ),
    ("pass_through_endpoints use_client_credentials_pass_through_routes", FORWARD),
    (
        "key_management_system key_management_settings use_azure_key_vault use_google_kms use_aws_kms",
        SECRETS,
    ),
    (
        "allowed_ips use_x_forwarded_for mcp_internal_ip_ranges",
        "the gateway does not look at addresses of callers: a firewall or a proxy before it does",
    ),
    (
        "allowed_routes admin_only_routes public_routes",
        "the admin API has a listener and a token of its own; a caller's key opens the public API only",
    ),
    (
        "litellm_key_header_name",
        "a key comes as `x-tidegate-key`, `x-api-key` or `Authorization: Bearer`",
    ),
    (
        "enforced_params reject_clientside_metadata_tags",
        "the nearest is the policy `require-metadata`, or one of your own with `deny`",
    ),
    ("allow_client_side_credentials", "the nearest is `credentials: caller` of a provider"),
    (
        "completion_model infer_model_from_keys",
        "every request of the Messages API names its model; the nearest is the alias `\"*\"`",
    ),
    (
        "image_generation_model embedding_model moderation_model",
        "the gateway serves the Messages API only",
    ),
    (
        "disable_retry_on_max_parallel_request_limit_error",
        "a request over a limit of a target goes to the next target, or is rejected",
    ),
    ("max_response_size_mb", "answers have no bound of size, since they are streamed"),
    ("litellm_license", GATEWAY),
    (
        "forward_openai_org_id forward_client_headers_to_llm_api",
        "the nearest is `forward_headers` of a provider, which lists the headers that it receives",
    ),
    (
        "store_model_in_db",
        "models of LiteLLM's database cannot be read: write each one into `models` and `providers`",
    ),
    ("user_mcp_management_mode user_header_mappings user_header_name", DATABASE),
];

const GUARDRAILS: &str = "the nearest is `pipeline`: the shipped policies `redact-pii`, `redact-secrets`, `block-words` and \
    `block-injection`, or a plugin that calls a service of yours";

const TOP: Table = &[
    ("include", "an included file does not include further ones: name them in the first file"),
    ("guardrails guardrail_list policies policy_attachments", GUARDRAILS),
    (
        "mcp_servers mcp_tools",
        "the gateway is no MCP server; `mcp_servers` of a request goes to the upstream as it is, and plugins are tools of the gateway",
    ),
    ("vector_store_registry vector_stores", "the nearest is a plugin as a server tool"),
    ("search_tools", "the nearest is the plugin `web-search`, a server tool of the gateway"),
    ("prompts prompt_registry", "the nearest is the policy `system-note`, or one of your own"),
    (
        "files_settings finetune_settings assistant_settings assistants_settings batch_settings \
         default_vertex_config",
        FORWARD,
    ),
    ("callback_settings", LOGGING),
    ("agents agent_list a2a_agents", "the gateway serves the Messages API only"),
    ("model_cost_map custom_cost_map", "the nearest is `prices_file`"),
];

fn of(table: Table, key: &str) -> &'static str {
    table
        .iter()
        .find(|(keys, _)| keys.split(' ').any(|own| own == key))
        .map_or(UNKNOWN, |(_, text)| text)
}

/// Returns the advice about a key of `litellm_params`.
pub(super) fn parameter(key: &str) -> &'static str {
    of(PARAMETERS, key)
}

/// Returns the advice about a key of `model_info`.
pub(super) fn model_info(key: &str) -> &'static str {
    of(INFO, key)
}

/// Returns the advice about a key of `router_settings`.
pub(super) fn router(key: &str) -> &'static str {
    of(ROUTER, key)
}

/// Returns the advice about a key of `litellm_settings`, where those of `router_settings` may stand too.
pub(super) fn litellm(key: &str) -> &'static str {
    match of(LITELLM, key) {
        UNKNOWN => of(ROUTER, key),
        text => text,
    }
}

/// Returns the advice about a key of `general_settings`.
pub(super) fn general(key: &str) -> &'static str {
    of(GENERAL, key)
}

/// Returns the advice about a key of the file itself.
pub(super) fn top(key: &str) -> &'static str {
    of(TOP, key)
}

/// Returns the advice about a callback.
pub(super) fn callback(name: &str) -> String {
    let text = match name {
        "langfuse"
        | "langfuse_otel"
        | "langsmith"
        | "arize"
        | "arize_phoenix"
        | "braintrust"
        | "logfire"
        | "opik"
        | "weave_otel"
        | "traceloop"
        | "datadog"
        | "datadog_llm_observability"
        | "newrelic"
        | "levo" => {
            "most such services take OpenTelemetry: set `otlp.endpoint` and `otlp.headers` to theirs"
        }
        "s3" | "s3_v2" | "gcs_bucket" | "azure_storage" | "dynamodb" | "sqs" | "aws_sqs"
        | "generic_api" | "webhook" => {
            "the nearest is `sinks`: a file of events as JSON lines, or signed webhooks"
        }
        "slack" | "email" | "smtp_email" | "resend_email" | "pagerduty" => ALERTS,
        "sentry" => {
            "failed requests are lines of the log, and `tidegate_requests_total` counts them by status"
        }
        _ if name.contains('.') => {
            "the gateway runs no Python; the nearest is a policy, a plugin, or `sinks`"
        }
        _ => {
            "the nearest is `otlp` for traces, `sinks` for events, and the ledger for tokens and cost"
        }
    };
    format!("the callback `{name}`: {text}")
}
