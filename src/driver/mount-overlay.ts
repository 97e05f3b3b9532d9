/** Mounts layers by the kernel's overlay file system, as many as it takes and never fewer than were asked for. */
import {accessSync, constants, existsSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import * as mounting from '../os/mount.ts'
import {type ByteString, fromText, printableText} from '../text.ts'
import {overlayDialect} from './dialect.ts'
import {openMountPoint, unmount} from './mounts.ts'
import {OptionNames} from './option-names.ts'

/** All paths are absolute and of directories that exist. */
export interface OverlayMount {
  /** Topmost first; at least one. */
  readonly lowers: readonly string[]
  /** Takes what is written; without it the mount is read-only. */
  readonly upper?: string | undefined
  /** The kernel's own, empty, on the file system of the upper directory. Given with it. */
  readonly work?: string | undefined
  /** An empty directory. */
  readonly target: string
  /** Deletions are spelled by `user.` attributes, as in a user namespace. */
  readonly userxattr: boolean
}

/** @see linux fs/overlayfs/params.h, OVL_MAX_STACK */
const maximumLowers = 500

/**
 * Mounts. Whoever calls it unmounts the target.
 *
 * @param canAddLowers for tests: whether the kernel takes lower directories one by one
 * @throws {ImgtoolError} LIMIT_EXCEEDED for more layers than this kernel can be told of, PLATFORM_UNSUPPORTED,
 * PERMISSION_DENIED, TARGET_INVALID, TARGET_EXISTS, SYSTEM_ERROR with what the kernel says
 */
export function mountOverlay(mount: OverlayMount, canAddLowers = takesLowersOneByOne()): void {
  mountVisible({...mount, lowers: aboveOpaqueRoot(mount)}, canAddLowers)
}

/** The kernel does not ask whether the root of a layer is opaque: what lies below must not be in the stack. */
function aboveOpaqueRoot({lowers, userxattr}: OverlayMount): readonly string[] {
  const dialect = overlayDialect(userxattr ? 'user' : 'trusted')
  const opaque = lowers.findIndex((path) => {
    const name = fromText(path)
    const root = os.check(os.openAt(os.AT_FDCWD, name, os.O_PATH | os.O_DIRECTORY), 'open the layer', name)
    try {
      return dialect.hidesAll(root)
    } finally {
      os.close(root)
    }
  })
  return opaque < 0 ? lowers : lowers.slice(0, opaque + 1)
}

function mountVisible(mount: OverlayMount, canAddLowers: boolean): void {
  if (mount.lowers.length > maximumLowers) {
    throw tooMany(mount, `overlay stacks at most ${maximumLowers}`)
  }
  using place = openMountPoint(mount.target)
  using names = new OptionNames('this')
  using log = new mounting.KernelLog()
  const [result, said] = canAddLowers
    ? mountByContext(
        place.descriptor,
        listOptions(mount, (path) => names.plain(path)),
      )
    : mountByString(place.descriptor, chooseString(mount, names))
  if (result < 0) throw explain(mount, result, [...said, ...log.read(logName)])
  if (mount.upper !== undefined && isReadOnly(mount.target)) {
    unmount(mount.target)
    throw explain(mount, os.EROFS, log.read(logName))
  }
}

/** What the kernel's messages about overlays begin with. */
const logName = 'overlayfs'

export type Option = readonly [name: string, value?: ByteString]

/**
 * The options of a mount, each lower directory by its own.
 *
 * @param name gives a directory as an option can have it
 * @param features of this kernel that docker's layers know nothing of
 * @see linux Documentation/filesystems/overlayfs.rst
 */
export function listOptions(
  {lowers, upper, work, target, userxattr}: OverlayMount,
  name: (path: string) => ByteString,
  features: readonly string[] = knownFeatures(),
): Option[] {
  // Two are the least that a read-only overlay has. The mount point is empty, and stays so while it is covered.
  const stack = lowers.length === 1 && upper === undefined ? [...lowers, target] : lowers
  return [
    ...stack.map((path): Option => ['lowerdir+', name(path)]),
    ...(upper === undefined ? [] : ([['upperdir', name(upper)]] as const)),
    ...(work === undefined ? [] : ([['workdir', name(work)]] as const)),
    ...(upper === undefined || userxattr ? [] : features.map((feature): Option => [feature, 'off'])),
    ...(userxattr ? ([['userxattr']] as const) : []),
  ]
}

/** With these an upper directory is no layer: it holds names and inodes of those below, or files without their content. */
const features = ['index', 'metacopy', 'redirect_dir']

function knownFeatures(): string[] {
  return features.filter((feature) => existsSync(`/sys/module/overlay/parameters/${feature}`))
}

/** The same options as one string, for kernels that take lower directories no other way. */
export function joinOptions(options: readonly Option[]): ByteString {
  const lowers = options.filter(([name]) => name === 'lowerdir+').map(([, value]) => value)
  const others = options.filter(([name]) => name !== 'lowerdir+')
  return [`lowerdir=${lowers.join(':')}`, ...others.map((option) => option.join('='))].join(',')
}

/** @throws {ImgtoolError} LIMIT_EXCEEDED for a string that would be cut: some cuts mount another, shorter stack */
function chooseString(mount: OverlayMount, names: OptionNames): ByteString {
  const options = names.fit(mounting.longestOptions, (name) => joinOptions(listOptions(mount, name)))
  if (options.length <= mounting.longestOptions) return options
  throw tooMany(mount, `this kernel reads ${mounting.longestOptions} bytes of options, and these are ${options.length}`)
}

/**
 * Whether the kernel has `lowerdir+`, as Linux does since 6.8. Before 6.5 a context takes any option, of whatever name, and
 * looks at it later.
 */
function takesLowersOneByOne(): boolean {
  const context = mounting.openFileSystem(type)
  // Without contexts, or without permission: then the mount itself says what is wrong.
  if (context < 0) return false
  try {
    return mounting.setOption(context, 'no-such-option', '') < 0 && mounting.setOption(context, 'lowerdir+', '/') >= 0
  } finally {
    os.close(context)
  }
}

const type = 'overlay'

type Outcome = readonly [result: number, messages: readonly string[]]

/** @param place descriptor of the mount point */
function mountByContext(place: number, options: readonly Option[]): Outcome {
  const context = mounting.openFileSystem(type)
  if (context < 0) return [context, []]
  try {
    for (const [name, value] of options) {
      const result = value === undefined ? mounting.setFlag(context, name) : mounting.setOption(context, name, value)
      if (result >= 0) continue
      const said = mounting.readMessages(context)
      return [result, said.length > 0 ? said : [`it refuses ${name}${value === undefined ? '' : `=${value}`}`]]
    }
    const created = mounting.createFileSystem(context)
    if (created < 0) return [created, mounting.readMessages(context)]
    return [attach(context, place), mounting.readMessages(context)]
  } finally {
    os.close(context)
  }
}

function attach(context: number, place: number): number {
  const root = mounting.containerFileSystem(context)
  if (root < 0) return root
  const result = mounting.attachMount(root, place)
  os.close(root)
  return result
}

function mountByString(place: number, options: ByteString): Outcome {
  return [mounting.mount(type, os.descriptorPath(place), type, 0, options), []]
}

/** An upper directory that the file system cannot serve makes the kernel mount without it, and say so in its log only. */
function isReadOnly(target: string): boolean {
  try {
    accessSync(target, constants.W_OK)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS'
  }
}

function tooMany({lowers, target}: OverlayMount, why: string): ImgtoolError {
  const message = `Cannot mount ${lowers.length} layers on "${printableText(target)}": ${why}`
  return new ImgtoolError('LIMIT_EXCEEDED', message, {
    hint:
      lowers.length > maximumLowers
        ? 'Make fewer layers of them first: imgtool squash'
        : 'Make fewer layers of them first: imgtool squash; or use Linux 6.8 or later',
  })
}

/** @param said by the kernel */
function explain({target, upper}: OverlayMount, result: number, said: readonly string[]): ImgtoolError {
  const action = `mount layers on "${printableText(target)}"`
  const why = said.map((message) => printableText(message.replace(/^overlay(?:fs)?: /, ''))).join('; ')
  if (result === os.ENODEV) {
    return new ImgtoolError('PLATFORM_UNSUPPORTED', `Cannot ${action}: this kernel has no overlay file system`, {
      hint: 'Load it: modprobe overlay',
    })
  }
  if (result === os.EPERM || result === os.EACCES) {
    return new ImgtoolError('PERMISSION_DENIED', `Cannot ${action}: ${os.errnoName(result)}, not permitted`, {
      hint: 'Run it as root, or in a user namespace of your own: unshare --user --map-root-user --mount',
    })
  }
  if (upper !== undefined && (result === os.EROFS || /not supported as upperdir|missing required features/.test(why))) {
    const message = `Cannot ${action}: the file system of "${printableText(upper)}" cannot take what is written`
    return new ImgtoolError('PLATFORM_UNSUPPORTED', why === '' ? message : `${message}: ${why}`, {
      hint: 'Use one that can, such as ext4, xfs, btrfs or tmpfs',
    })
  }
  const message = `Cannot ${action}: ${os.errnoName(result)}`
  if (why !== '') return new ImgtoolError('SYSTEM_ERROR', `${message}: ${why}`)
  return new ImgtoolError('SYSTEM_ERROR', message, {hint: 'The kernel may say why: dmesg | tail'})
}
