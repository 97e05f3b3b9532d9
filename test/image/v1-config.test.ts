import {readFileSync} from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {type Digest, sha256} from '../../src/digest.ts'
import {configFromV1, type V1Config} from '../../src/image/v1-config.ts'
import {sharedDir, sharedTest} from '../helpers/shared.ts'

/** The layer of every golden case: two zero blocks, an empty tar. */
const emptyTar = sha256(Buffer.alloc(1024))

/** Strings are byte strings. `config` is what dockerd 20.10.24 made of the last document; null where it refused to load. */
interface GoldenCase {
  readonly title: string
  readonly documents: readonly string[]
  readonly config: string | null
}

const golden: GoldenCase[] = JSON.parse(readFileSync(new URL('../golden/v1-config.json', import.meta.url), 'utf8'))

for (const {title, documents, config} of golden) {
  test(`gives what dockerd 20.10 gives: ${title}`, (t) => {
    if (config === null) {
      t.throws(() => convertChain(documents), {code: 'DOCUMENT_INVALID', message: /^Cannot .*[^.]$/})
    } else {
      const last = convertChain(documents)
      t.is(last?.config.toString('latin1'), config)
      t.is(last?.imageID, sha256(Buffer.from(config, 'latin1')))
    }
  })
}

function convertChain(documents: readonly string[], diffID: Digest = emptyTar): V1Config | undefined {
  let last: V1Config | undefined
  for (const document of documents) last = configFromV1(Buffer.from(document, 'latin1'), last, diffID)
  return last
}

// The busybox images of TestMigrateImages in https://github.com/moby/moby/blob/v1.10.0/migrate/v1/migratev1_test.go, once as
// docker 1.9 kept them and once as docker 1.8.2 did: both forms become the same two images.
const migrated = [
  'sha256:ca406eaf9c26898414ff5b7b3a023c33310759d6203be0663dbf1b3a712f432d',
  'sha256:a488bec94bb96b26a968f913d25ef7d8d204d727ca328b52b4b059c7d03260b6',
]
const busybox = {
  '1.9': [
    '{"architecture":"amd64","config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"container":"23304fc829f9b9349416f6eb1afec162907eba3a328f51d53a17f8986f865d65","container_config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["/bin/sh","-c","#(nop) ADD file:a3bc1e842b69636f9df5256c49c5374fb4eef1e281fe3f282c65fb853ee171c5 in /"],"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"created":"2015-10-31T22:22:54.690851953Z","docker_version":"1.8.2","layer_id":"sha256:55dc925c23d1ed82551fd018c27ac3ee731377b6bad3963a2a4e76e753d70e57","os":"linux"}',
    '{"architecture":"amd64","config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["sh"],"Image":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"container":"349b014153779e30093d94f6df2a43c7a0a164e05aa207389917b540add39b51","container_config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["/bin/sh","-c","#(nop) CMD [\\"sh\\"]"],"Image":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"created":"2015-10-31T22:22:55.613815829Z","docker_version":"1.8.2","layer_id":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4","os":"linux","parent_id":"sha256:039b63dd2cbaa10d6015ea574392530571ed8d7b174090f032211285a71881d0"}',
  ],
  '1.8.2': [
    '{"id":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","created":"2015-10-31T22:22:54.690851953Z","container":"23304fc829f9b9349416f6eb1afec162907eba3a328f51d53a17f8986f865d65","container_config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":null,"PublishService":"","Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["/bin/sh","-c","#(nop) ADD file:a3bc1e842b69636f9df5256c49c5374fb4eef1e281fe3f282c65fb853ee171c5 in /"],"Image":"","Volumes":null,"VolumeDriver":"","WorkingDir":"","Entrypoint":null,"NetworkDisabled":false,"MacAddress":"","OnBuild":null,"Labels":null},"docker_version":"1.8.2","config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":null,"PublishService":"","Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"VolumeDriver":"","WorkingDir":"","Entrypoint":null,"NetworkDisabled":false,"MacAddress":"","OnBuild":null,"Labels":null},"architecture":"amd64","os":"linux","Size":1108935}',
    '{"id":"17583c7dd0dae6244203b8029733bdb7d17fccbb2b5d93e2b24cf48b8bfd06e2","parent":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","created":"2015-10-31T22:22:55.613815829Z","container":"349b014153779e30093d94f6df2a43c7a0a164e05aa207389917b540add39b51","container_config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":null,"PublishService":"","Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["/bin/sh","-c","#(nop) CMD [\\"sh\\"]"],"Image":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","Volumes":null,"VolumeDriver":"","WorkingDir":"","Entrypoint":null,"NetworkDisabled":false,"MacAddress":"","OnBuild":null,"Labels":null},"docker_version":"1.8.2","config":{"Hostname":"23304fc829f9","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":null,"PublishService":"","Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["sh"],"Image":"d1592a710ac323612bd786fa8ac20727c58d8a67847e5a65177c594f43919498","Volumes":null,"VolumeDriver":"","WorkingDir":"","Entrypoint":null,"NetworkDisabled":false,"MacAddress":"","OnBuild":null,"Labels":null},"architecture":"amd64","os":"linux","Size":0}',
  ],
}

for (const [version, documents] of Object.entries(busybox)) {
  test(`gives busybox of docker ${version} the ids that its migration gave it`, (t) => {
    const base = convertChain(documents.slice(0, 1))
    const top = convertChain(documents)
    t.deepEqual([base?.imageID, top?.imageID], migrated)
    t.deepEqual(top?.diffIDs, [emptyTar, emptyTar])
    t.deepEqual(
      top?.history.map((entry) => JSON.parse(entry).created),
      ['2015-10-31T22:22:54.690851953Z', '2015-10-31T22:22:55.613815829Z'],
    )
  })
}

test('hands history on as text, not as bytes', (t) => {
  const {history} = configFromV1(Buffer.from('{"author":"Zoë \ufffe <z@example.org>"}'), undefined, emptyTar)
  t.deepEqual(JSON.parse(history[0]!), {created: '0001-01-01T00:00:00Z', author: 'Zoë \ufffe <z@example.org>'})
})

test('reads 10,000 nested values and refuses 10,001, as Go does', (t) => {
  const nested = (depth: number) => `{"docker_version":"1.9.1","a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
  t.notThrows(() => convertChain([nested(10_000)]))
  t.throws(() => convertChain([nested(10_001)]), {code: 'DOCUMENT_INVALID'})
  t.throws(() => convertChain(['['.repeat(4_000_000)]), {code: 'DOCUMENT_INVALID'})
})

test('takes time linear to the size of a hostile document', (t) => {
  const size = 4_000_000
  for (const text of [
    `{"a":"${'\\u0041'.repeat(size / 6)}"}`,
    `{"Size":${'9'.repeat(size)}}`,
    `{"author":"${'\\\\'.repeat(size / 2)}`,
    ' '.repeat(size),
    `{"docker_version":"1.9","x":[${'1,'.repeat(size / 2)}1]}`,
  ]) {
    const start = process.cpuUsage().user
    try {
      convertChain([text])
    } catch {}
    t.true(process.cpuUsage().user - start < 5e6, text.slice(0, 30))
  }
})

sharedTest('gives a real archive of 2013 to 2015 the ids that dockerd 20.10 gives it', (t) => {
  const ids = readChain('docker-v1-centos-empty-layers.tar', [
    '17d1436ef796af2fc2210cc37c4672e5aa1b62cb08ac4b95dd15372321105a66',
    '9c7cb910d84346a3fbf3cc2be046f44bf0af7f11eb8db2ef1f45e93c1202faac',
    '25445a0fc5025c3917a0cd6e307d92322540e0da691614312ddea22511b71513',
  ])
  t.deepEqual(ids, [
    'sha256:e93bb34ecc6eb92603a2ef4ce8f2bb5c41673f69f92b4e4ed661386a2d31696d',
    'sha256:c815505e38713d48fe3a497a874d725ba8fd8df1e5c1e7273adc7dff6baa3af6',
    'sha256:a9e31d6f186fbbe2468c9961316dba93971266d344ba960f68911df6e29b564c',
  ])
})

/** Image IDs of a chain of layers, base first. */
function readChain(archive: string, v1IDs: readonly string[]): Digest[] {
  const tar = readFileSync(path.join(sharedDir()!, 'images', archive))
  let last: V1Config | undefined
  return v1IDs.map((id) => {
    last = configFromV1(member(tar, `${id}/json`), last, sha256(member(tar, `${id}/layer.tar`)))
    return last.imageID
  })
}

/** A member of a plain ustar archive. */
function member(tar: Buffer, name: string): Buffer {
  const header = tar.indexOf(`${name}\0`, 0, 'latin1')
  const size = Number.parseInt(tar.toString('latin1', header + 124, header + 135), 8)
  return tar.subarray(header + 512, header + 512 + size)
}
