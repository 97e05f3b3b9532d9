import test from 'ava'
import {ImgtoolError} from '../../src/errors.ts'
import {chainIDs} from '../../src/image/chain.ts'
import {familiarName, isDockerName, isLostNamed, isNamed, namesOf} from '../../src/image/names.ts'
import {findParents} from '../../src/image/parents.ts'
import {diffID, imageOf, setOf} from '../helpers/images.ts'

const id = `sha256:${'0123456789ab'.repeat(5)}cdef` as const

test('shows names as docker does', (t) => {
  for (const [whole, familiar] of [
    ['docker.io/library/busybox:1', 'busybox:1'],
    ['index.docker.io/library/busybox:1', 'busybox:1'],
    ['docker.io/me/app:1', 'me/app:1'],
    ['docker.io/library/distros/ubuntu:1', 'library/distros/ubuntu:1'],
    ['docker.io/app', 'app'],
    ['localhost/app:1', 'localhost/app:1'],
    ['registry:5000/library/app:1', 'registry:5000/library/app:1'],
    ['library/app:1', 'app:1'],
    ['docker.io/', 'docker.io/'],
    ['docker.io/library/', 'library/'],
    ['mydocker.io/library/app', 'mydocker.io/library/app'],
    ['', ''],
  ] as const) {
    t.is(familiarName(whole), familiar, whole)
  }
})

test('finds an image by a name and a digest, where both are its own', (t) => {
  const [manifestDigest, index] = [`sha256:${'a'.repeat(64)}`, `sha512:${'b'.repeat(128)}`] as const
  const image = imageOf([], {names: ['me/app:1', 'busybox:latest'], imageID: id, manifestDigest, indexDigests: [index]})
  for (const name of ['me/app:1', 'docker.io/me/app:1', 'me/app', 'busybox', 'busybox:latest']) {
    for (const digest of [id, manifestDigest, index, id.slice(0, 19)]) t.true(isNamed(image, `${name}@${digest}`))
    for (const digest of [`sha256:${'c'.repeat(64)}`, id.slice(0, 18), id.slice(7)]) {
      t.false(isNamed(image, `${name}@${digest}`), digest)
    }
  }
  for (const name of ['me/app:2', 'app', 'me', '']) t.false(isNamed(image, `${name}@${id}`), name)
  t.true(isNamed(imageOf([], {names: [`app@${manifestDigest}`]}), `app@${manifestDigest}`))
  t.true(
    isLostNamed(
      {names: ['app:1'], manifestDigest, error: new ImgtoolError('BLOB_MISSING', '')},
      `app:1@${manifestDigest}`,
    ),
  )
})

test('finds an image by its name, with docker’s host and tag or without', (t) => {
  const image = imageOf([], {names: ['busybox:latest', 'me/app:1'], aliases: ['v1']})
  for (const wanted of [
    'busybox:latest',
    'busybox',
    'docker.io/library/busybox',
    'docker.io/me/app:1',
    'me/app:1',
    'v1',
  ]) {
    t.true(isNamed(image, wanted), wanted)
  }
  for (const wanted of ['busybox:1', 'me/app', 'app:1', 'v', 'V1', '', 'quay.io/busybox:latest', 'latest']) {
    t.false(isNamed(image, wanted), wanted)
  }
})

test('finds an image by twelve or more digits of any of its ids', (t) => {
  const image = imageOf([], {imageID: id, v1ID: 'f'.repeat(64), manifestDigest: `sha256:${'e'.repeat(64)}`})
  for (const wanted of [id, id.slice(7), id.slice(7, 19), id.slice(0, 19), 'f'.repeat(12), 'e'.repeat(30)]) {
    t.true(isNamed(image, wanted), wanted)
  }
  for (const wanted of [id.slice(7, 18), 'f'.repeat(65), 'd'.repeat(12), `sha512:${id.slice(7)}`, 'F'.repeat(12)]) {
    t.false(isNamed(image, wanted), wanted)
  }
})

test('finds an image by the id of its last node in a tree, whether that made a layer or not', (t) => {
  const layers = imageOf([{layer: 'base'}, {layer: 'app'}])
  const environment = imageOf([{layer: 'base'}, {layer: 'app'}, {does: 'ENV A=1'}])
  const [below, top] = chainIDs([diffID('base'), diffID('app')])
  for (const image of [layers, environment]) {
    t.true(isNamed(image, top!))
    t.false(isNamed(image, below!))
    const last = findParents([{label: '', set: setOf([image])}]).at(-1)
    t.true(isNamed(image, last!.id.slice(7, 19)))
  }
})

test('takes names from annotations: containerd’s is whole, OCI’s may be a tag', (t) => {
  const ref = 'org.opencontainers.image.ref.name'
  const containerd = 'io.containerd.image.name'
  t.deepEqual(namesOf({}), {names: [], aliases: []})
  t.deepEqual(namesOf({[ref]: '1.0'}), {names: ['1.0'], aliases: []})
  t.deepEqual(namesOf({[ref]: 'docker.io/library/app:1'}), {names: ['app:1'], aliases: ['docker.io/library/app:1']})
  t.deepEqual(namesOf({[containerd]: 'docker.io/library/app:1', [ref]: '1'}), {
    names: ['app:1'],
    aliases: ['docker.io/library/app:1', '1'],
  })
})

test('tells the names that docker takes', (t) => {
  const taken = ['app:1', 'team/app:1.0', 'Reg.io:5000/app:1', 'localhost/a__b-c.d:V_1', 'a/b/c:x']
  for (const name of taken) t.true(isDockerName(name), name)
  const refused = [
    'app',
    'UPPER:1',

    'a:b:c',
    'foo@sha256:abc',
    'a..b:1',
    '-a:1',
    'a//b:1',
    `a:${'t'.repeat(129)}`,
  ]
  for (const name of [...refused, `${'n'.repeat(256)}:1`]) t.false(isDockerName(name), name)
})
