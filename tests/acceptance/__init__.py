"""Tests from outside: real server processes and the clients people use: browsers, wscat, copied pages."""
