# As Rails writes it, with the processors that Ruby counts where nobody says a number.
require 'etc'
workers Integer(ENV.fetch('WEB_CONCURRENCY') { Etc.nprocessors })
threads 1, 1
preload_app!
bind 'unix:///run/runtimes/puma.sock'
app { [200, {}, ['']] }
