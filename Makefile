# Everything that is done to this project is a target here; `make` alone lists them. Each runs on the Node.js that
# package.json names (v24), whatever the machine has; the machine's own is used for npm only.

SHELL := /bin/bash
.DEFAULT_GOAL := help

INSTALLED := node_modules/.installed
NODE := node_modules/.bin/node
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): package-lock.json hack/npm-installed.mjs
	@node hack/npm-installed.mjs || npm ci --no-audit --no-fund
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## A fleet of four PostgreSQL shards on a real cluster, with real data; it stays up
	@$(NODE) hack/demo/main.ts

.PHONY: test
test: $(INSTALLED) ## Everything: lint, drift, unit, API-server and end-to-end tests, with all their set-up
	@$(NODE) hack/test/main.ts

.PHONY: unit
unit: $(INSTALLED) ## Pure and in-process tests: seconds
	@vitest run --project unit

.PHONY: api
api: $(INSTALLED) ## Tests against one real kube-apiserver
	@vitest run --project api

.PHONY: e2e
e2e: $(INSTALLED) ## Tests on the cluster, which is made if need be
	@vitest run --project e2e --project e2e-disruptive

.PHONY: matrix
matrix: $(INSTALLED) ## Every fault in every phase of a migration, and a large table: hours
	@MATRIX=all vitest run --project e2e --project e2e-disruptive migration/large disruptive/migration-faults

.PHONY: lint
lint: $(INSTALLED) ## Types, lint rules, formatting, directions of imports
	@npm run --silent lint

.PHONY: generate
generate: $(INSTALLED) ## Write the CRDs, their copies in the chart, the API reference and manifests/install.yaml
	@$(NODE) crds/generate.ts
	@$(NODE) hack/install-manifest.ts

.PHONY: verify
verify: $(INSTALLED) ## Fail where a generated file is not what its source says, or the chart is not clean
	@npm run --silent verify

.PHONY: cluster
cluster: $(INSTALLED) ## The local cluster alone
	@$(NODE) hack/cluster/main.ts up

.PHONY: images
images: $(INSTALLED) ## Build the images and load them into the cluster
	@$(NODE) hack/images/main.ts

.PHONY: plugin
plugin: $(INSTALLED) ## Build the kubectl plugin: dist/kubectl-shardwright
	@$(NODE) hack/build-cli.ts

.PHONY: deploy
deploy: $(INSTALLED) ## Install or upgrade the operator in the cluster
	@$(NODE) hack/deploy.ts

.PHONY: clean
clean: $(INSTALLED) ## Remove the cluster and what was built in this work tree
	@$(NODE) hack/cluster/main.ts down
	@rm -rf dist

.PHONY: distclean
distclean: clean ## Also remove images, caches and node_modules
	@$(NODE) hack/cluster/main.ts forget
	@rm -rf node_modules
