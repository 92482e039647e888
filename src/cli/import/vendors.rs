//! The providers of LiteLLM, by the prefix of a model: addresses, variables, and the type of provider here.

/// A provider of LiteLLM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vendor {
    /// The prefix of a model, such as `hosted_vllm`.
    pub(super) prefix: &'static str,
    /// The name of the provider in the written file.
    pub(super) name: &'static str,
    /// The way in which its models are called.
    pub(super) kind: Kind,
    /// The address, if the file has none.
    pub(super) base: Option<&'static str>,
    /// The variable with the address, if the file has none and there is no public one.
    pub(super) base_variable: Option<&'static str>,
    /// The variable with the key, if the file has none; none for a server that needs no key.
    pub(super) key: Option<&'static str>,
    /// The flavor of `type: openai`, if the address alone does not decide it.
    pub(super) flavor: Option<&'static str>,
}

/// A way to call models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The Messages API.
    Messages,
    /// Chat Completions.
    Chat,
    /// OpenAI itself, or a server with its API at an own address.
    OpenAi,
    /// Azure's OpenAI.
    Azure,
    /// Azure AI: Claude, and models with Chat Completions.
    AzureAi,
    /// Claude on Bedrock.
    Bedrock,
    /// Claude and Gemini on Vertex AI.
    Vertex,
    /// Gemini at AI Studio.
    Gemini,
}

const NONE: Vendor = Vendor {
    prefix: "",
    name: "",
    kind: Kind::Chat,
    base: None,
    base_variable: None,
    key: None,
    flavor: None,
};

/// A vendor with Chat Completions at a public address.
const fn chat(prefix: &'static str, key: &'static str, base: &'static str) -> Vendor {
    Vendor { prefix, name: prefix, base: Some(base), key: Some(key), ..NONE }
}

const VENDORS: &[Vendor] = &[
    Vendor { kind: Kind::Messages, base: None, ..chat("anthropic", "ANTHROPIC_API_KEY", "") },
    Vendor { kind: Kind::OpenAi, base: None, ..chat("openai", "OPENAI_API_KEY", "") },
    Vendor {
        name: "openai",
        kind: Kind::OpenAi,
        base: None,
        ..chat("custom_openai", "OPENAI_API_KEY", "")
    },
    Vendor {
        kind: Kind::Azure,
        base: None,
        base_variable: Some("AZURE_API_BASE"),
        ..chat("azure", "AZURE_API_KEY", "")
    },
    Vendor {
        name: "azure-ai",
        kind: Kind::AzureAi,
        base: None,
        base_variable: Some("AZURE_AI_API_BASE"),
        ..chat("azure_ai", "AZURE_AI_API_KEY", "")
    },
    Vendor { prefix: "bedrock", name: "bedrock", kind: Kind::Bedrock, ..NONE },
    Vendor { prefix: "bedrock_converse", name: "bedrock", kind: Kind::Bedrock, ..NONE },
    Vendor { prefix: "vertex_ai", name: "vertex", kind: Kind::Vertex, ..NONE },
    Vendor { prefix: "vertex_ai_beta", name: "vertex", kind: Kind::Vertex, ..NONE },
    Vendor { kind: Kind::Gemini, base: None, ..chat("gemini", "GEMINI_API_KEY", "") },
    chat("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    Vendor {
        kind: Kind::Messages,
        ..chat("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/anthropic")
    },
    Vendor {
        kind: Kind::Messages,
        ..chat("minimax", "MINIMAX_API_KEY", "https://api.minimax.io/anthropic")
    },
    Vendor {
        name: "litellm-proxy",
        kind: Kind::Messages,
        base: None,
        base_variable: Some("LITELLM_PROXY_API_BASE"),
        ..chat("litellm_proxy", "LITELLM_PROXY_API_KEY", "")
    },
    local("ollama", "ollama", "http://localhost:11434/v1", "ollama"),
    local("ollama_chat", "ollama", "http://localhost:11434/v1", "ollama"),
    Vendor {
        base: None,
        base_variable: Some("LM_STUDIO_API_BASE"),
        ..local("lm_studio", "lm-studio", "", "lmstudio")
    },
    Vendor {
        base: None,
        base_variable: Some("HOSTED_VLLM_API_BASE"),
        ..local("hosted_vllm", "vllm", "", "vllm")
    },
    Vendor {
        base: None,
        base_variable: Some("VLLM_API_BASE"),
        ..local("vllm", "vllm", "", "vllm")
    },
    local("llamafile", "llamafile", "http://127.0.0.1:8080/v1", "llamacpp"),
    Vendor {
        base: None,
        base_variable: Some("XINFERENCE_API_BASE"),
        ..local("xinference", "xinference", "", "generic")
    },
    chat("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    chat("mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    Vendor {
        flavor: Some("mistral"),
        ..chat("codestral", "CODESTRAL_API_KEY", "https://codestral.mistral.ai/v1")
    },
    chat("xai", "XAI_API_KEY", "https://api.x.ai/v1"),
    Vendor {
        name: "together",
        ..chat("together_ai", "TOGETHERAI_API_KEY", "https://api.together.xyz/v1")
    },
    Vendor {
        name: "fireworks",
        ..chat("fireworks_ai", "FIREWORKS_AI_API_KEY", "https://api.fireworks.ai/inference/v1")
    },
    chat("deepinfra", "DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
    chat("perplexity", "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai"),
    chat("cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    chat("sambanova", "SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1"),
    Vendor {
        name: "nvidia-nim",
        ..chat("nvidia_nim", "NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1")
    },
    chat("moonshot", "MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    chat(
        "dashscope",
        "DASHSCOPE_API_KEY",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    ),
    chat("hyperbolic", "HYPERBOLIC_API_KEY", "https://api.hyperbolic.xyz/v1"),
    chat("novita", "NOVITA_API_KEY", "https://api.novita.ai/v3/openai"),
    chat("nebius", "NEBIUS_API_KEY", "https://api.studio.nebius.ai/v1"),
    chat("nscale", "NSCALE_API_KEY", "https://inference.api.nscale.com/v1"),
    chat("volcengine", "VOLCENGINE_API_KEY", "https://ark.cn-beijing.volces.com/api/v3"),
    Vendor {
        name: "llama",
        ..chat("meta_llama", "LLAMA_API_KEY", "https://api.llama.com/compat/v1")
    },
    Vendor { name: "ai21", ..chat("ai21_chat", "AI21_API_KEY", "https://api.ai21.com/studio/v1") },
    chat("friendliai", "FRIENDLI_TOKEN", "https://api.friendli.ai/serverless/v1"),
    chat("github", "GITHUB_API_KEY", "https://models.inference.ai.azure.com"),
];

/// A server of one's own with Chat Completions.
const fn local(
    prefix: &'static str,
    name: &'static str,
    base: &'static str,
    flavor: &'static str,
) -> Vendor {
    Vendor { prefix, name, base: Some(base), flavor: Some(flavor), ..NONE }
}

/// Returns the vendor with a prefix.
pub(super) fn by_prefix(prefix: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.prefix == prefix)
}

/// Returns the vendor of a model, and the model without the prefix. `provider` is `custom_llm_provider` of the entry.
pub(super) fn of_model<'m>(
    model: &'m str,
    provider: Option<&str>,
) -> Option<(&'static Vendor, &'m str)> {
    if let Some(vendor) = provider.and_then(by_prefix) {
        let own = model.strip_prefix(vendor.prefix).and_then(|rest| rest.strip_prefix('/'));
        return Some((vendor, own.unwrap_or(model)));
    }
    if let Some((prefix, rest)) = model.split_once('/')
        && let Some(vendor) = by_prefix(prefix)
    {
        return Some((vendor, rest));
    }
    // LiteLLM knows these by their names
    let is_named = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    let prefix = match model {
        _ if is_named(&["claude-"]) => "anthropic",
        _ if is_named(&["gpt-", "chatgpt-", "o1", "o3", "o4"]) => "openai",
        _ if is_named(&["gemini-"]) => "vertex_ai",
        _ if is_named(&[
            "anthropic.claude",
            "us.anthropic.",
            "eu.anthropic.",
            "global.anthropic.",
        ]) =>
        {
            "bedrock"
        }
        _ => return None,
    };
    (!model.contains('/')).then(|| by_prefix(prefix).map(|vendor| (vendor, model))).flatten()
}

/// Returns the variable of the key that LiteLLM reads if an entry has none.
pub(super) fn key_variable(model: &str, provider: Option<&str>) -> Option<&'static str> {
    of_model(model, provider).and_then(|(vendor, _)| vendor.key)
}
