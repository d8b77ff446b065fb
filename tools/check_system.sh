#!/bin/sh
# Names each part of the system that is missing, with the line that installs it; silent where all is there.
# PYTHON may name another interpreter.
set -u
python=${PYTHON:-python3}
missing=0

complain() {
    [ "$missing" = 0 ] && echo "A part of the system is missing; nothing was installed." >&2
    missing=1
    echo "  $1" >&2
    echo "      $2" >&2
}

if [ "$(uname -s)" != Linux ]; then
    complain "this is $(uname -s), and the plugin is built for Linux" "use a Linux machine"
fi

if ! command -v make >/dev/null 2>&1; then
    complain "make is not installed; install it:" "sudo apt-get install make"
fi

if ! command -v "$python" >/dev/null 2>&1; then
    complain "$python is not installed; install it:" "sudo apt-get install python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    for newer in python3.13 python3.12 python3.11; do
        command -v $newer >/dev/null 2>&1 && break
    done
    if command -v $newer >/dev/null 2>&1; then
        complain "$python is Python ${found:-that does not start}, and 3.11 or newer is needed; use the one that is there:" \
            "make PYTHON=$newer"
    else
        complain "$python is Python ${found:-that does not start}, and 3.11 or newer is needed; install one and name it:" \
            "sudo apt-get install python3.11 python3.11-venv && make PYTHON=python3.11"
    fi
elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    case $python in
        *python3.*) package=$(basename "$python")-venv ;;
        *) package=python3-venv ;;
    esac
    complain "$python cannot make virtual environments; install what it lacks:" "sudo apt-get install $package"
fi

if ! command -v g++ >/dev/null 2>&1; then
    complain "g++ is not installed; install it:" "sudo apt-get install g++"
else
    major=$(g++ -dumpversion 2>/dev/null | cut -d. -f1)
    case $major in
        '' | *[!0-9]*) complain "g++ does not say its version; install it again:" "sudo apt-get install --reinstall g++" ;;
        *) [ "$major" -ge 11 ] || complain "g++ is version $major, and 11 or newer is needed; install one and make it g++:" \
            "sudo apt-get install g++-11 && sudo update-alternatives --install /usr/bin/g++ g++ /usr/bin/g++-11 11" ;;
    esac
fi

exit $missing
