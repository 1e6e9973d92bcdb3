# Recipes for https://just.systems. Each is one command, so nothing here needs just.

# A shop with a demo sale, at http://127.0.0.1:8080.
run:
    cargo run --release

# All tests; those against real servers are skipped where the servers are not installed.
test:
    cargo test --workspace

# All that has to hold before a change is merged.
ci:
    .ci/run

# The steps of that, one by one.
format:
    cargo fmt --all

lint:
    .ci/run lint

doc:
    .ci/run doc

deny:
    .ci/run deny

deploy:
    .ci/run deploy

smoke:
    .ci/run smoke

instructions:
    .ci/run instructions

fuzz:
    .ci/run fuzz

# A scenario of the load laboratory, such as `just load sold-out-storm`.
load scenario:
    cargo run --release -p load -- run load/scenarios/{{ scenario }}.toml

# Prints config.toml anew after a setting was added or changed.
config:
    cargo run -q -- config template > config.toml.new && mv config.toml.new config.toml
