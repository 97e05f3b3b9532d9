import {mkdirSync, mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {joinBranches, joinLayers, mountAufs} from '../../src/driver/mount-aufs.ts'
import {OptionNames} from '../../src/driver/option-names.ts'

const scratch = mkdtempSync(join(tmpdir(), 'imgtool-aufs-'))
test.after.always(() => rmSync(scratch, {recursive: true}))

const name = (path: string) => path
const readOnly = {lowers: ['/diff/b', '/diff/a'], target: '/mnt'}
const writable = {...readOnly, upper: '/diff/u', work: '/work'}

test('branches are topmost first, the writable one before them', (t) => {
  t.is(joinBranches(readOnly, name), 'br:/diff/b=ro+wh:/diff/a=ro+wh,dio,xino=/dev/shm/aufs.xino')
  t.is(joinBranches(writable, name), 'br:/diff/u=rw:/diff/b=ro+wh:/diff/a=ro+wh,dio,xino=/dev/shm/aufs.xino')
})

test('fuse-overlayfs is told the same', (t) => {
  t.is(joinLayers(readOnly, name), 'lowerdir=/diff/b:/diff/a,ro')
  t.is(joinLayers(writable, name), 'lowerdir=/diff/b:/diff/a,upperdir=/diff/u,workdir=/work')
})

test('as many branches as aufs has at most fit into its options, whatever they are called', (t) => {
  using names = new OptionNames('this')
  const lowers = Array.from({length: 127}, (_, index) => join(scratch, `${'layer'.repeat(12)}-${index}`))
  for (const lower of lowers) mkdirSync(lower)
  t.true(joinBranches({...readOnly, lowers}, (path) => names.plain(path)).length > 4095)
  t.true(names.fit(4095, (short) => joinBranches({...readOnly, lowers}, short)).length <= 4095)
})

test.serial('where nothing mounts aufs it is said that the layers are whole, and what helps', (t) => {
  const target = join(scratch, 'target')
  mkdirSync(target)
  const {PATH} = process.env
  process.env.PATH = scratch
  try {
    const error = t.throws(() => mountAufs({lowers: [scratch], target}), {code: 'PLATFORM_UNSUPPORTED'})
    t.regex(
      error?.message ?? '',
      /^Cannot mount layers on ".*": this kernel has no aufs, and fuse-overlayfs is not installed$/,
    )
  } finally {
    process.env.PATH = PATH
  }
})
