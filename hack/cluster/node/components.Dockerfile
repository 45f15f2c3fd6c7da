# The three system images that need more than one static program: kube-proxy, the pod network's daemon, and the shell
# that makes and removes local volumes. One image under three names.
FROM debian:trixie-slim

RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      iptables conntrack ipset iproute2 kmod curl jq \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale

COPY kube-proxy pod-network /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/pod-network"]
