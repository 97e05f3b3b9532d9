FROM odd:entries
SHELL ["/bin/busybox", "sh", "-euc"]
# hard links over layers: metadata of one name, content through another, one name removed
RUN chmod 0600 /srv/data/keep/hard-two && rm /srv/data/a/hard-three && echo more >>/opt/odd/links/to/b && rm /opt/odd/links/c
RUN ln /srv/same/2 /srv/same/2-again && ln /srv/same/2 /opt/same-2
# metadata only
RUN chown -R 1000:1000 /srv/same && chmod 1777 /srv/swap && touch -d '2001-09-09 01:46:40' /srv/data && chmod 0700 /opt/odd/deep
# what was removed comes back
RUN mkdir -p /srv/gone/x && echo back >/srv/gone/x/back && echo back >/srv/data/a/f1
WORKDIR /srv/work
USER 1000
CMD ["/bin/busybox", "true"]
