"""Format ``docker``: the metadata of Docker Content Trust and Notary v1, on python-tuf's domain objects.

Pure, as all of ``core``: bytes in, values or errors out.  Everything below takes and gives ``tuf.api.metadata``'s
``Metadata``, ``Root``, ``Targets``, ``Snapshot`` and ``Timestamp``; keys are ``keys.DockerKey``.

    files         read(data, kind) / write(metadata) / sign(signed, signers) / covered, payload: one file
    keys          DockerKey, from_public, from_certificates; ids as Notary counts them
    certificates  the certificates of root keys: what they have to be, and root_certificate to make one
    signatures    ECDSA as r||s, RSA-PSS, Ed25519: verify, and from_securesystemslib
    roles         names of roles: check_role, parent
    build         new_root, new_targets, delegate, withdraw, next_snapshot, next_timestamp: the next files
    roots         check_root, check_threshold, check_successor, root_signers, signed_by
    tree          the delegations of a collection as a tree, with Notary's rules of paths
    evaluate      evaluate(files, gun, now) -> SignedView, evaluate_but_expiry, attributions, check_received
    rollback      check_not_older: against what was seen before
    pins          anchor, meets, follow, issued_by (certificate authorities)
    payloads_in, payloads_out   the signed part between JSON values and domain objects
    canonical, values, times    bytes and JSON values

What differs in the domain objects from format ``tuf``: role names in ``Snapshot.meta`` end in ``.json`` here as
there, and the versions in it mean nothing (Notary's name none); ``Delegations.roles`` have prefixes as ``paths``;
hashes and signatures are hex in the objects and base64 in the files; ``unrecognized_fields`` keep how a file spelt
its expiry and which empty lists it spelt as null, so that what was read is written as it was.
"""
