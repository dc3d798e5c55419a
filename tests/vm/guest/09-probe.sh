. "$(dirname "$0")/lib.sh"
ok one true
lsmod | awk '{print "# mod", $1}' | paste -sd' '
systemctl list-jobs | sed 's/^/# /'
systemd-analyze blame --no-pager | head -25 | sed 's/^/# /'
udevadm settle
lsmod | awk '{print $1}' | paste -sd' ' | sed 's/^/# mod2 /'
systemctl list-units --type=service --no-pager --plain --no-legend --state=running | sed 's/^/# /'
cat /proc/uptime
