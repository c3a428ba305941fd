"""From outside: real server processes, and the clients that people bring: browsers, wscat, copied pages."""
