#!/bin/sh
# Makes what compose.yaml needs and git does not have: .env and the files in private/. What is there already stays as it is.
#   sh secrets.sh [NAME]     NAME: what the audit's log is called, for instance viox.example.com/audit; no other log may be called so
set -eu
umask 077
cd "$(dirname "$0")"
# shellcheck disable=SC2016 # Python's text
SIGNER='import sys; from shared.audit.notes import Signer; print(Signer.make(sys.argv[1]).secret_text(), end="")'
IMAGE=$(sed -n '/^  migrate:/,/image:/ s/^ *image: *//p' compose.yaml)

random() { head -c 32 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }

# A file appears whole or not at all. Containers run as other users, and each sees its own file alone: on this machine
# the folder is closed for everybody else.
keep() {
    if [ ! -e "private/$1" ]; then
        cat > private/.new
        if [ ! -s private/.new ]; then
            rm private/.new
            echo "private/$1 could not be made" >&2
            exit 1
        fi
        chmod 0644 private/.new
        mv private/.new "private/$1"
        echo "made private/$1"
    fi
}

# Each line of env.example that .env lacks; below `# generated` with a random value.
settings() {
    generated=
    while IFS= read -r line; do
        case $line in
            '# generated') generated=yes ;;
            '#'* | '') ;;
            *)
                name=${line%%=*}
                if grep -q "^$name=." .env || { [ -z "$generated" ] && grep -q "^$name=" .env; }; then continue; fi
                sed -i.old "/^$name=\$/d" .env && rm -f .env.old
                if [ -n "$generated" ]; then line="$name=$(random)"; fi
                printf '%s\n' "$line" >> .env
                echo "made $name in .env"
                ;;
        esac
    done < env.example
}

mkdir -p private/vendors
chmod 0700 private
chmod 0755 private/vendors # its files are read by the gateway's user: chmod 0644 what you put there
[ -e .env ] || : > .env
chmod 0600 .env
settings
printf '%s=\n' "$(random)" | keep secret-key
random | keep postgres-superuser
random | keep grafana-admin
printf 'people: []\n' | keep people.yaml
if [ ! -e private/audit-key ]; then
    name=${1:-$(uname -n)/viox-$(random | cut -c 1-12)/audit}
    docker run --rm --network none --read-only --entrypoint python "$IMAGE" -c "$SIGNER" "$name" | keep audit-key
fi
