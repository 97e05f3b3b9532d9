import {chmodSync, mkdirSync, mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {joinOptions, listOptions, mountOverlay} from '../../src/driver/mount-overlay.ts'
import {OptionNames} from '../../src/driver/option-names.ts'
import type {ImgtoolError} from '../../src/errors.ts'

const scratch = mkdtempSync(join(tmpdir(), 'imgtool-overlay-'))
test.after.always(() => rmSync(scratch, {recursive: true}))

const name = (path: string) => path
const readOnly = {lowers: ['/l/b', '/l/a'], target: '/merged', userxattr: false}
const writable = {...readOnly, upper: '/u', work: '/w'}

test('each lower directory is an option, topmost first', (t) => {
  t.deepEqual(listOptions(readOnly, name, ['index']), [
    ['lowerdir+', '/l/b'],
    ['lowerdir+', '/l/a'],
  ])
})

test('an upper directory is a layer and nothing else, as far as the kernel knows more', (t) => {
  t.deepEqual(listOptions(writable, name, ['index', 'metacopy']).slice(2), [
    ['upperdir', '/u'],
    ['workdir', '/w'],
    ['index', 'off'],
    ['metacopy', 'off'],
  ])
})

test('in a user namespace there are user attributes, with which those features are off', (t) => {
  t.deepEqual(listOptions({...writable, userxattr: true}, name, ['index']).slice(2), [
    ['upperdir', '/u'],
    ['workdir', '/w'],
    ['userxattr'],
  ])
})

test('one layer lies on the empty mount point, because the kernel wants two', (t) => {
  t.deepEqual(listOptions({...readOnly, lowers: ['/l/a']}, name, []), [
    ['lowerdir+', '/l/a'],
    ['lowerdir+', '/merged'],
  ])
  t.is(listOptions({...writable, lowers: ['/l/a']}, name, []).filter(([option]) => option === 'lowerdir+').length, 1)
})

test('options are one string for kernels that take no other', (t) => {
  t.is(
    joinOptions(listOptions({...writable, userxattr: true}, name, [])),
    'lowerdir=/l/b:/l/a,upperdir=/u,workdir=/w,userxattr',
  )
})

test('a name that would end or mean something else in an option is replaced by that of a descriptor', (t) => {
  using names = new OptionNames('this')
  const plain = join(scratch, 'plain-é')
  mkdirSync(plain)
  t.is(names.plain(plain), Buffer.from(plain).toString('latin1'))
  for (const odd of ['co:lon', 'com,ma', 'back\\slash', 'equals=', 'blank in', 'quo"te', 'x'.repeat(250)]) {
    const path = join(scratch, odd)
    mkdirSync(path)
    t.regex(names.plain(path), /^\/proc\/self\/fd\/\d+$/, odd)
    t.is(names.plain(path), names.plain(path), 'the same is opened once')
  }
})

test('other processes can read the names', (t) => {
  using names = new OptionNames('another')
  t.regex(names.short(scratch), new RegExp(`^/proc/${process.pid}/fd/\\d+$`))
})

test('a layer that is gone is named', (t) => {
  using names = new OptionNames('this')
  t.throws(() => names.short(join(scratch, 'gone')), {message: /open the layer ".*\/gone"/})
})

test('more layers than the kernel stacks are refused in one line', (t) => {
  const lowers = Array.from({length: 501}, () => scratch)
  const error = t.throws(() => mountOverlay({...readOnly, lowers}), {code: 'LIMIT_EXCEEDED'})
  t.is(error?.message, 'Cannot mount 501 layers on "/merged": overlay stacks at most 500')
})

test('options that would be cut are refused before anything is mounted', (t) => {
  const target = join(scratch, 'target')
  mkdirSync(target)
  const lowers = Array.from({length: 400}, (_, index) => join(scratch, `lower-${index}`))
  for (const lower of lowers) mkdirSync(lower)
  const error = t.throws(() => mountOverlay({lowers, target, userxattr: false}, false), {code: 'LIMIT_EXCEEDED'})
  t.regex(
    error?.message ?? '',
    /^Cannot mount 400 layers on ".*": this kernel reads 4095 bytes of options, and these are \d+$/,
  )
})

test.serial('without the privilege it is said what helps', (t) => {
  const target = join(scratch, 'mine')
  mkdirSync(target)
  chmodSync(scratch, 0o755)
  const error = asNobody(() =>
    t.throws(() => mountOverlay({lowers: [scratch], target, userxattr: false}), {code: 'PERMISSION_DENIED'}),
  )
  t.regex(String((error as ImgtoolError | undefined)?.details.hint), /user namespace/)
})

function asNobody<Result>(act: () => Result): Result {
  if (process.geteuid?.() !== 0) return act()
  process.seteuid?.('nobody')
  try {
    return act()
  } finally {
    process.seteuid?.(0)
  }
}
