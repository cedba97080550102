# Short names for what is done often. `make` alone lists them: each target's help is the text after its `##`.
NAME ?= default
STORE ?= s3
TESTBED := testbed/testbed

.DEFAULT_GOAL := help
.PHONY: help up stack unstack status shell down demo build image test bench

help: ## this list
	@echo "make TARGET [NAME=testbed]"
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  %-8s %s\n", $$1, $$2 }'

# --- the testbed: a real Kubernetes with Prometheus, see docs/testing.md

up: ## start a testbed with Kubernetes, CSI snapshots, S3 and Prometheus
	@$(TESTBED) up --name $(NAME)

stack: ## bring the default stack back, as after a disaster
	@$(TESTBED) stack --name $(NAME)

unstack: ## the disaster: delete the default stack
	@$(TESTBED) unstack --name $(NAME)

status: ## what runs
	@$(TESTBED) status --name $(NAME)

shell: ## an interactive shell inside, with kubectl
	@$(TESTBED) shell --name $(NAME)

down: ## end the testbed and remove all it made
	@$(TESTBED) down --name $(NAME)

# --- the program

build: ## the program: target/release/promsafe
	@cargo build --release

image: ## the container image without any container tool: target/promsafe-image.tar
	@deploy/image.sh

demo: ## backup, disaster, restore and proof on one screen (STORE=s3 or STORE=local)
	@testbed/demo --name $(NAME) --store $(STORE)

test: ## every test
	@tests/run

bench: ## figures; some of them with ONLY="NAME NAME"
	@testbed/bench "$(ONLY)"
