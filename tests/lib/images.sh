# Disk images to back up. To be sourced.

# make_image FILE MIB: a third data that compresses, a third data that does not, the rest a hole; not a multiple of 64 KiB.
make_image() {
    local file=$1 mib=$2 third=$(($2 / 3))
    truncate -s $((mib * 1048576 - 512)) "$file"
    seq 1 100000000 | head -c ${third}M | dd of="$file" bs=1M conv=notrunc iflag=fullblock status=none
    head -c ${third}M /dev/urandom | dd of="$file" bs=1M seek="$third" conv=notrunc iflag=fullblock status=none
    printf 'the end' | dd of="$file" bs=1 seek=$((mib * 1048576 - 519)) conv=notrunc status=none
}

# change_image FILE OFFSET_MIB MIB
change_image() { head -c "$3M" /dev/urandom | dd of="$1" bs=1M seek="$2" conv=notrunc iflag=fullblock status=none; }
