/** Names of file systems, as docker shows them. */

/** @see linux include/uapi/linux/magic.h; moby daemon/graphdriver/driver_linux.go, FsNames */
const names = new Map([
  [0x61756673, 'aufs'],
  [0x9123683e, 'btrfs'],
  [0xef53, 'extfs'],
  [0x65735546, 'fuse'],
  [0x6969, 'nfs'],
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs'],
  [0x2fc12fc1, 'zfs'],
  [0x58465342, 'xfs'],
])

/** @param type as statfs(2) tells it */
export function fileSystemName(type: number): string {
  return names.get(type) ?? '<unknown>'
}
