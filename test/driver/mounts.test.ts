import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {followMountPoint, isMounted, listMounts, openMountPoint, parseMounts, unmount} from '../../src/driver/mounts.ts'
import {fromText} from '../../src/text.ts'

const scratch = mkdtempSync(join(tmpdir(), 'imgtool-mounts-'))
test.after.always(() => rmSync(scratch, {recursive: true}))

test('a mount has a place, a type and a source, whatever stands between them', (t) => {
  const mountinfo = [
    '23 28 0:21 / /proc rw,relatime - proc proc rw',
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue',
    '40 28 0:44 / /store/merged ro shared:9 unbindable - overlay over\\040lay ro,lowerdir=/a:/b',
    '',
  ].join('\n')
  t.deepEqual(parseMounts(mountinfo), [
    {point: '/proc', type: 'proc', source: 'proc', device: '0:21', root: '/', options: 'rw'},
    {point: '/mnt2', type: 'ext3', source: '/dev/root', device: '98:0', root: '/mnt1', options: 'rw,errors=continue'},
    {
      point: '/store/merged',
      type: 'overlay',
      source: 'over lay',
      device: '0:44',
      root: '/',
      options: 'ro,lowerdir=/a:/b',
    },
  ])
})

test('places are bytes, of which some are escaped', (t) => {
  const point = `${String.raw`/a\040b\011c\012d\134e\134040-`}${fromText('é')}\xff`
  const [mount] = parseMounts(`1 2 0:1 / ${point} rw - tmpfs none rw\n`)
  t.is(mount?.point, `/a b\tc\nd\\e\\040-${fromText('é')}\xff`)
})

test('what is mounted is found, through symlinks to its parent, too', (t) => {
  symlinkSync('/', join(scratch, 'root'))
  t.true(isMounted('/proc'))
  t.true(isMounted(join(scratch, 'root/proc')))
  t.false(isMounted(scratch))
  t.deepEqual(listMounts(scratch), [])
  t.true(listMounts('/').some(({point, type}) => point === '/proc' && type === 'proc'))
})

test('only an empty directory can be mounted on', (t) => {
  const path = (name: string) => join(scratch, name)
  mkdirSync(path('empty'))
  mkdirSync(path('full/inside'), {recursive: true})
  writeFileSync(path('file'), '')
  symlinkSync('empty', path('link'))
  symlinkSync('nothing', path('loose'))
  openMountPoint(path('empty'))[Symbol.dispose]()
  for (const [name, code] of [
    ['absent', 'TARGET_INVALID'],
    ['file', 'TARGET_INVALID'],
    ['link', 'TARGET_INVALID'],
    ['full', 'TARGET_EXISTS'],
  ] as const) {
    t.throws(() => openMountPoint(path(name)), {code}, name)
  }
  t.like(
    t.throws(() => openMountPoint(path('absent'))),
    {details: {hint: `Make it first: mkdir -p '${path('absent')}'`}},
  )
  t.like(
    t.throws(() => openMountPoint(path('loose'))),
    {details: {hint: 'Give an empty directory'}},
  )
  openMountPoint(followMountPoint(path('link')))[Symbol.dispose]()
  t.deepEqual(
    ['loose', 'file', 'absent'].map((name) => followMountPoint(path(name))),
    ['loose', 'file', 'absent'].map(path),
  )
})

const rootTest = process.getuid?.() === 0 ? test : test.skip

rootTest('unmounting where nothing is mounted is refused', (t) => {
  t.throws(() => unmount(scratch), {code: 'TARGET_INVALID', message: /nothing is mounted there/})
})
