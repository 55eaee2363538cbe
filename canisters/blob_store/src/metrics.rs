//! What the store tells Prometheus.

use std::fmt::Write;

use depot_types::blob_store::BlobStoreStats;

/// Figures that the store does not know by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Cycles of the canister.
    pub cycles: u128,
    /// Bytes of the canister's heap.
    pub heap_bytes: u64,
}

/// Returns all figures in the text format of Prometheus.
pub fn text(stats: &BlobStoreStats, environment: Environment) -> String {
    let BlobStoreStats {
        modules,
        unretained_modules,
        condemned_modules,
        references,
        chunks,
        chunk_bytes,
        free_bytes,
        uploads,
        stable_bytes,
        methods,
    } = stats;
    let Environment { cycles, heap_bytes } = environment;
    let gauges: [(&str, &str, u128); 11] = [
        ("modules", "Sealed modules.", (*modules).into()),
        ("unretained_modules", "Sealed modules that no holder retains.", (*unretained_modules).into()),
        ("condemned_modules", "Modules that are about to be removed.", (*condemned_modules).into()),
        ("references", "References that holders have to modules.", (*references).into()),
        ("chunks", "Chunks kept, each once.", (*chunks).into()),
        ("chunk_bytes", "Bytes of the chunks.", (*chunk_bytes).into()),
        ("free_bytes", "Bytes between chunks that other chunks will have.", (*free_bytes).into()),
        ("uploads", "Open uploads, and some that have expired.", (*uploads).into()),
        ("stable_memory_bytes", "Bytes of stable memory.", (*stable_bytes).into()),
        ("heap_memory_bytes", "Bytes of the heap.", heap_bytes.into()),
        ("cycles", "Cycles of the canister.", cycles),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        write(&mut text, name, help, "gauge", [(String::new(), value)]);
    }
    let label = |method: &str| format!("{{method=\"{method}\"}}");
    let calls = methods.iter().map(|usage| (label(&usage.method), u128::from(usage.calls)));
    write(&mut text, "calls", "Calls of update methods since the last upgrade.", "counter", calls);
    let instructions = methods.iter().map(|usage| (label(&usage.method), u128::from(usage.instructions)));
    write(&mut text, "instructions", "Instructions of these calls.", "counter", instructions);
    text
}

fn write(text: &mut String, name: &str, help: &str, kind: &str, values: impl IntoIterator<Item = (String, u128)>) {
    let mut line = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("BUG: a string takes any text");
    line(format_args!("# HELP blob_store_{name} {help}\n# TYPE blob_store_{name} {kind}\n"));
    for (label, value) in values {
        line(format_args!("blob_store_{name}{label} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use depot_types::usage::MethodUsage;

    use super::*;

    #[test]
    fn should_write_what_prometheus_reads() {
        let method = |method: &str, calls| MethodUsage { method: method.to_string(), calls, instructions: 10 * calls };
        let stats = BlobStoreStats {
            modules: 3,
            chunk_bytes: u64::MAX,
            methods: vec![method("put_chunk", 2), method("timer", 1)],
            ..BlobStoreStats::default()
        };
        let text = text(&stats, Environment { cycles: u128::MAX, heap_bytes: 5 });
        for line in [
            "# HELP blob_store_modules Sealed modules.",
            "# TYPE blob_store_modules gauge",
            "blob_store_modules 3",
            "blob_store_chunk_bytes 18446744073709551615",
            "blob_store_heap_memory_bytes 5",
            "blob_store_cycles 340282366920938463463374607431768211455",
            "# TYPE blob_store_calls counter",
            "blob_store_calls{method=\"put_chunk\"} 2",
            "blob_store_instructions{method=\"timer\"} 10",
        ] {
            assert!(text.lines().any(|of| of == line), "{line}");
        }
        let is_value = |line: &str| line.split_once(' ').is_some_and(|(_, value)| value.parse::<u128>().is_ok());
        assert!(text.lines().all(|line| line.starts_with("# ") || is_value(line)));
    }
}
